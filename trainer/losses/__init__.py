"""What is minimised: contrast over the whole batch of all ranks, and terms that hold a tower where it was.

Names that begin with `global_` are collective: every rank calls them with its own rows, in the same order. Without a process
group a process is alone, and a small batch is computed as one matrix. Other losses are collective where they are given ranks.
"""
