"""The figures and tables of the two papers, measured again with this project's codecs and runs.

An experiment is a list of cases that do not depend on each other, what is measured in one case, and the document that
is made from the results. The runner measures cases in processes of one thread each, stores every result when it is
there, and goes on where it was stopped.
"""
