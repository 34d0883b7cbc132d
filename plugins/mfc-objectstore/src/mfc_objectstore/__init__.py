"""Objects of a cloud's store as files, through obstore: what the plugins for clouds share.

`files` has the filesystem, and what a plugin tells of its cloud; `failure` makes errors into
sentences; `machine` asks about the machine that all runs on.
"""
