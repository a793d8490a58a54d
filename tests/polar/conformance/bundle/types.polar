# The files of this directory are one policy.
actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
