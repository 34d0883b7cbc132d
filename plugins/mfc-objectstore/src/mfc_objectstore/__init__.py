"""Objects of a cloud's store as files, through obstore: the base of the plugins for clouds.

`files` has the filesystem and the interface of a cloud; `failure` words the errors; `machine`
has the endpoints, proxies and certificates of this machine.
"""
