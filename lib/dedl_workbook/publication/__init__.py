"""What is to be published: the job, the words of each step, the metadata, where a case stands."""
