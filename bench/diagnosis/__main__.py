from bench.diagnosis.upstream import main

main()
