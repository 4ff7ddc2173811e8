"""What is served, written for other libraries: a file for each layout."""
