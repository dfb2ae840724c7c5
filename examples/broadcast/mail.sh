#!/bin/sh
# mail.sh sends one mail: the message on stdin, its topic in the environment.
echo "to the customer: $SCHEDULER_TOPIC $(cat)"
sleep "${MAIL_SECONDS:-0.5}"
