"""The operators' JSON API, one router an area; what mounts them decides who may call."""
