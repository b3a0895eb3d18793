"""Many adapters over one frozen base, trained together in one process; each equals that of a run of its own."""
