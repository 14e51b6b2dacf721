[observer]
name = mon-a
password: hunter2
