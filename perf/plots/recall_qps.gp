# Recall against queries a second, one line a file and peer: up and to the right is better.
#
#   gnuplot -c perf/plots/recall_qps.gp OUT.svg FILE.jsonl [FILE.jsonl ...]
#
# Files are the output of `tern bench ann --json`, whose points are labelled with their ef, or of perf/peers/run on
# one set, which have a line for each peer.

if (ARGC < 2) {
  print "usage: gnuplot -c recall_qps.gp OUT.svg FILE.jsonl ..."
  exit status 2
}

points = system(sprintf("dirname '%s'", ARG0)) . "/points.py"
files = ""
do for [i = 2:ARGC] { files = files . " " . value(sprintf("ARG%d", i)) }

# A plot without a point is an error, and gnuplot itself would not say which file it was.
labelled = ""
lines = ""
do for [file in files] {
  peers = system(sprintf("python3 '%s' --peers '%s' 2>&1 || echo '!'", points, file))
  if (strstrt(peers, "!")) {
    print peers[1:strstrt(peers, "!") - 1]
    exit status 1
  }
  if (peers eq "-") { labelled = labelled . " " . file . "|-" }
  do for [peer in peers] { lines = lines . " " . file . "|" . peer }
}

file(line) = line[1:strstrt(line, "|") - 1]
peer(line) = line[strstrt(line, "|") + 1:*]
command(line) = sprintf("< python3 '%s' '%s' '%s'", points, file(line), peer(line))
base(file) = system(sprintf("basename '%s' .jsonl", file))
name(line) = base(file(line)) . (peer(line) eq "-" ? "" : " " . peer(line))

set terminal svg size 800,500 font "sans,12" background "white"
set output ARG1
set title "Recall and speed"
set xlabel "recall"
set ylabel "queries a second"
set logscale y
set format y "10^{%L}"
set ytics add ("1000" 1000, "2000" 2000, "5000" 5000, "10000" 10000, "20000" 20000, "50000" 50000, "100000" 100000)
set autoscale yfix
set grid
set key bottom left
set offsets graph 0.05, graph 0.05, graph 0.1, graph 0.1

if (words(labelled) > 0) {
  plot for [i = 1:words(labelled)] command(word(labelled, i)) using 1:2:3 with labels offset 0,1 notitle, \
       for [i = 1:words(lines)] command(word(lines, i)) using 1:2 with linespoints \
         lt i pt 7 ps 0.6 lw 2 title name(word(lines, i)) noenhanced
} else {
  plot for [i = 1:words(lines)] command(word(lines, i)) using 1:2 with linespoints \
         lt i pt 7 ps 0.6 lw 2 title name(word(lines, i)) noenhanced
}
