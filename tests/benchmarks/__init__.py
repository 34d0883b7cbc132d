"""Speed, memory and reads of mfc beside real Metaflow and beside the floor, measured in one run."""
