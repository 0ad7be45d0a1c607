"""What is told of runs: the facts that results are composed of, and how long detectors take."""
