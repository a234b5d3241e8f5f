"""Hanok in the place of NNI 3.0's manager: started by an unmodified `nnictl` or `nni.experiment.Experiment`, it runs
the experiment's own tuner process and its trials, answers NNI's REST interface and keeps its state, and each trial is a
trial of a Hanok study."""
