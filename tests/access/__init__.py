"""Rules, rights and rows together: what each request may, whichever way it is made."""
