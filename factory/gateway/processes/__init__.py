"""One process of the gateway or several: started, supervised, and answering as one."""
