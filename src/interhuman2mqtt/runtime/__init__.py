"""What every stage needs of the operating system and of the log."""
