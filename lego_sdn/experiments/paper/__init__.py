"""The experiments of the LEGO paper: measured on two Mininet hosts, compared, drawn."""
