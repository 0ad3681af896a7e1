"""The report: one page of HTML, with charts in it, made of a summary of the archive."""
