"""What leaves for vendors: claim, talk, hand the input in. Submissions, polls, and the audio that is fetched first."""
