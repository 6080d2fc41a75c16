# Recall against queries a second, one line a file: up and to the right is better.
#
#   gnuplot -c perf/plots/recall_qps.gp OUT.svg FILE.jsonl [FILE.jsonl ...]
#
# Files are the output of `tern bench ann --json`; points are labelled with their ef.

if (ARGC < 2) {
  print "usage: gnuplot -c recall_qps.gp OUT.svg FILE.jsonl ..."
  exit status 2
}

points = system(sprintf("dirname '%s'", ARG0)) . "/points.py"
files = ""
do for [i = 2:ARGC] { files = files . " " . value(sprintf("ARG%d", i)) }

# A plot without a point is an error, and gnuplot itself would not say which file it was.
do for [file in files] {
  wrong = system(sprintf("python3 '%s' '%s' 2>&1 >/dev/null", points, file))
  if (strlen(wrong)) {
    print wrong
    exit status 1
  }
}

name(file) = system(sprintf("basename '%s' .jsonl", file))

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

plot for [file in files] sprintf("< python3 '%s' '%s'", points, file) using 1:2:3 with labels offset 0,1 notitle, \
     for [i = 1:words(files)] sprintf("< python3 '%s' '%s'", points, word(files, i)) using 1:2 with linespoints \
       lt i pt 7 ps 0.6 lw 2 title name(word(files, i))
