"""Real servers for the tests: started when they are needed, waited for, stopped."""
