"""Every door that speaks HTTP. It translates: parse, authenticate, call one method, render."""
