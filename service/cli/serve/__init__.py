"""The commands that run a deployment: web, worker, sandbox, healthcheck, migrate."""
