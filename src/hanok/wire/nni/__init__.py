"""NNI 3.0: the trial command channel, its older files, and the experiment file."""
