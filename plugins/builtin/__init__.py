"""The plugins that come with the product, one file each."""
