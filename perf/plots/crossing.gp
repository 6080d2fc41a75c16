# What a probe sees while others load the owner: asked, and its memory read.
#
#   gnuplot -c perf/plots/crossing.gp OUT.svg FOLDER TRANSPORT PORT...
#
# FOLDER has a file PORT-UNDERWAY-WAY for 1 and 16 under way and the ways rpc and one-sided, with lines
# "load qps p50 p99"; perf/one_sided/table.py writes them. One column a port: latency above, rate below.

if (ARGC < 4) {
  print "usage: gnuplot -c crossing.gp OUT.svg FOLDER TRANSPORT PORT..."
  exit status 2
}
ports = ARGC - 3
port(i) = value(sprintf("ARG%d", 3 + i))
file(i, depth, way) = sprintf("%s/%s-%d-%s", ARG2, port(i), depth, way)

set terminal svg size 440 * ports, 640 font "sans,12" background "white"
set output ARG1
set multiplot layout 2, ports
set xlabel "load of the owner by others, % of saturation"
set xrange [0:100]
set grid
set key top left
set logscale y
do for [i = 1:ports] {
  set title sprintf("RPC by %s, READs by %s, 1 under way", port(i), ARG3) noenhanced
  set ylabel "latency, us"
  plot file(i, 1, "rpc") using 1:3 with linespoints lc 1 pt 7 ps 0.5 lw 2 title "RPC p50", \
       file(i, 1, "rpc") using 1:4 with linespoints lc 1 dt 2 pt 7 ps 0.5 title "RPC p99", \
       file(i, 1, "one-sided") using 1:3 with linespoints lc 2 pt 7 ps 0.5 lw 2 title "one-sided p50", \
       file(i, 1, "one-sided") using 1:4 with linespoints lc 2 dt 2 pt 7 ps 0.5 title "one-sided p99"
}
unset logscale y
set yrange [0:*]
set key bottom left
do for [i = 1:ports] {
  set title sprintf("RPC by %s, READs by %s, 16 under way", port(i), ARG3) noenhanced
  set ylabel "queries a second"
  plot file(i, 16, "rpc") using 1:2 with linespoints lc 1 pt 7 ps 0.5 lw 2 title "RPC", \
       file(i, 16, "one-sided") using 1:2 with linespoints lc 2 pt 7 ps 0.5 lw 2 title "one-sided"
}
unset multiplot
