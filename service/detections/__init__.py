"""The question and its answer: submitting, dispatching, observing, deciding, ending."""
