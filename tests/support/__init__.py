"""What tests use: clients of the API, people, servers, a browser, JavaScript, runs of scripts."""
