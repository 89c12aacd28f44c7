"""A procedural night drive: the world behind ``runtime.capture.simulated``.

World coordinates, in metres: ``u`` to the right of the centre line, ``y`` up from the road, ``s`` along the road.
The vehicle's frame: X right, Y up, Z ahead; for a point Z ahead of the camera X = u - u_ego + bend(Z).

    textures    noise, ground and tree pictures, made once
    shapes      what everything in the world is drawn with
    people, vehicles, scenery    the figures, in shapes
    drive       the road, and where the vehicle is at a time
    passers, traffic    people and cars along it
    stage       a pedestrian in the vehicle's lane
    world       one moment: all of these, and the light that falls there
    raster      shapes to pixels (visible, thermal) and to object numbers
    backdrop    road, verge and sky to pixels
    sensors     bloom, noise, tone: from radiance to what the cameras deliver
"""
