from benchmarks.scale import main

raise SystemExit(main())
