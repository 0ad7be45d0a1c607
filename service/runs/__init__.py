"""What moves a run: its tables, its states, and the one place where facts about it are decided and saved."""
