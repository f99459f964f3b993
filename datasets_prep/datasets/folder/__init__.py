"""Any folder of images with label maps, or with a folder of binary masks per class."""
