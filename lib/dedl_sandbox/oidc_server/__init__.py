"""An OpenID Connect server with Keycloak's URLs, answers and claims.

It runs in an environment of its own (requirements/iam.in), so nothing in here imports anything of
the workbook. OIDC_SETTINGS holds as JSON its own URL, the users and clients of each realm, and
where to keep what changes: signing keys, roles, and who was granted which.
"""
