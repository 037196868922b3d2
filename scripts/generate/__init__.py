"""What is written for readers and machines out of the code, so that it cannot say anything else: schemas and tables."""
