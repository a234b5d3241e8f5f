"""What each page shows, as typed frozen values. The HTML and the JSON of a page are made from the same view."""
