"""Files as streams: folders that are offered, and titles in them that can be played from any place."""
