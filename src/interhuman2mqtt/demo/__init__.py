"""The whole chain on one machine, for a first look: broker, cloud, camera, and what comes of it on the screen."""
