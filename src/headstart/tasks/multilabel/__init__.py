"""Any set of classes for each picture."""
