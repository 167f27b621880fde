"""Every knob of a run, as frozen pydantic models. Imports neither torch nor ray."""
