"""Part segmentation as in Matcher: crops of objects, and the parts of those objects as classes."""
