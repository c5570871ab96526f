"""What `lego bench` measures: every stage alone and chained, under attack, live, and while growing.

A group is a module with ROWS (what it measures, with targets) and `measure(bench, wanted)`, which yields a result for each row
as it is known. Figures are medians of several runs; what is compared is run in turns, A B A B, so that other load meets both.
"""
