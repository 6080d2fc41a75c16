# Durable commits a second of four stores: bars, one group a number of writers.
#
#   gnuplot -c commits.gp OUT.svg FILE.jsonl
#
# The file is the output of `bench_commit --json`.

if (ARGC != 2) {
  print "usage: gnuplot -c commits.gp OUT.svg FILE.jsonl"
  exit status 2
}
script = system(sprintf("dirname '%s'", ARG0)) . "/commits.py"
stores = "tern sqlite lmdb rocksdb"
names = "Tern SQLite LMDB RocksDB"
said = system(sprintf("'%s' '%s' %s 2>&1 >/dev/null", script, ARG2, stores))
if (strlen(said) > 0) {
  print said
  exit status 1
}

set terminal svg size 720,420 font "sans,12" background "white"
set output ARG1
set title "Durable commits a second (keys of 16 bytes, values of 100)"
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.85 border -1
set boxwidth 0.9
set logscale y
set xrange [-0.6:1.6]
set yrange [100:1e6]
set ytics ("100" 100, "1,000" 1e3, "10,000" 1e4, "100,000" 1e5, "1,000,000" 1e6)
set grid ytics
set key top left
# The group's middle is its number; boxes are a fifth of it apart.
rows = sprintf("< '%s' '%s' %s", script, ARG2, stores)
plot for [i = 1:words(stores)] rows using (column(i + 1)):xticlabels(1) title word(names, i), \
     for [i = 1:words(stores)] rows using ($0 - 0.5 + 0.2 * i):(column(i + 1)):(sprintf("%.0f", column(i + 1))) \
       with labels offset 0,0.6 font ",9" notitle
