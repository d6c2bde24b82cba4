"""The parts of `verdigris.pywsgi`, a file each."""
