"""List the data sets and fetch them.

Examples:
    gradwire data list
    gradwire data fetch mnist
"""
