"""`python -m verdigris` is the command `verdigris`."""

from verdigris._doors.command import main

if __name__ == "__main__":
    main()
