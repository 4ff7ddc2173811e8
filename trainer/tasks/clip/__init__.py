"""What stage `clip` learns: the task, its objective of several terms, and what single terms need."""
