"""A driver's own data as one package: asked for, made by a job, fetched once by a link."""
