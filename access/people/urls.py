"""What is under `/accounts/`. Of django-allauth's pages those that are needed; sign-up is our own, by mail first."""

from __future__ import annotations

from django.urls import include, path, re_path

from access.people import account_page, invitation_page, languages, sign_in_page, sign_up_pages, web_sessions

urlpatterns = [
    path("", account_page.account, name="account"),
    path("language/", languages.change, name="language"),
    path("login/", sign_in_page.sign_in_page, name="account_login"),
    path("signup/", sign_up_pages.sign_up, name="account_signup"),
    path("signup/<str:token>/", sign_up_pages.company, name="sign-up-company"),
    re_path(r"^invitation/(?P<secret>[\w-]{1,100})/\Z", invitation_page.invitation, name="invitation"),
    path("reopen/", account_page.take_back, name="reopen-tenant"),
    path("sessions/", web_sessions.listing, name="usersessions_list"),
    path("", include("allauth.account.urls")),
    path("2fa/", include("allauth.mfa.urls")),
    path("connections/", include("allauth.socialaccount.urls")),
    path("", include("allauth.socialaccount.providers.openid_connect.urls")),
]
