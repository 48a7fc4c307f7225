"""WHERE everything outside the process is: lake, registry, compute, model repository, Data Docs."""
