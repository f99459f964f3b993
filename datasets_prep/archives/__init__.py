"""Original archives: fetched, checked, unpacked."""
