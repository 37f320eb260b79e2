"""Measure speed, variances, privacy, and bytes on the wire.

Examples:
    gradwire bench encode --dim 12332010
    gradwire bench wire --hosts netns --workers 4
"""
