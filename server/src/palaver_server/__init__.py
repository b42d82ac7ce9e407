"""The Palaver server: HTTP surfaces, command line and web page."""
